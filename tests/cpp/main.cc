// The one main of the C++ unit tests; each test_<suite>.cc holds one suite of that name.
#define BOOST_TEST_MODULE mlcore
#include <boost/test/included/unit_test.hpp>
