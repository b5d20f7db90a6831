"""Small nodes for the tests of launch and supervision."""
