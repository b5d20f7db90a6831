"""What travels: message types, the table of topics and services, and the codec between them and msgpack."""
