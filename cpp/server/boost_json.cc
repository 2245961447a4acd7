// Boost.JSON's definitions for this library; those of the core are hidden inside it.
#include <boost/json/src.hpp>
