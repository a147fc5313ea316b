"""The test bed: a host with two interfaces whose cables are in the hands of the tests, one `Bed` per kind of socket."""
