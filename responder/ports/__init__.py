"""What the verbs know of the outside: one Protocol or base class for each thing that can be swapped."""
