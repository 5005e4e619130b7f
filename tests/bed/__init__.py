"""The test bed: real servers, strict stand-ins for what cannot be had, and faults between them."""
