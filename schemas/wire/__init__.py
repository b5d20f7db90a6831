"""Sans-IO codecs of protocols that more than one node speaks: bytes in, values out, and back."""
