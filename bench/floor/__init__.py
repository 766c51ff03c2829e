"""The frozen floor: the least that could do the same, and what one would write first, as they were when first measured.

Nothing of the server is imported here, and nothing here follows it, so that figures of different years have the same
denominator. Only the contract moves them: they speak it, and are callers' servers like any other.
"""
