"""How many bits the values of a file use, where 16 bits hold them and the file does not say."""

WHITES = (1023, 4095, 16383)
"""Largest values of 10, 12 and 14 bits, which detectors and scanners give."""


def assumed_white(highest: int, warnings: list[str]) -> int:
    """Return the value that stands for white: the largest of the smallest depth that holds all values.

    Over 65,535, values of 10, 12 or 14 bits would fill 1/64, 1/16 or 1/4 of the grey scale, and a committee would see
    hardly any contrast.

    Args:
        highest: of the values.
        warnings: gets a sentence where that is another value than 65,535.

    >>> warnings = []
    >>> assumed_white(3900, warnings), assumed_white(65000, warnings)
    (4095, 65535)
    >>> warnings
    ['does not state how many of its 16 bits are used; all values fit into 12 bits, so 4,095 was taken for white']
    """
    for white in WHITES:
        if highest <= white:
            warnings.append(
                f"does not state how many of its 16 bits are used; all values fit into {white.bit_length()} bits, "
                f"so {white:,} was taken for white"
            )
            return white
    return 65535
