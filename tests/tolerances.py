"""Every tolerance of the tests, with its reason."""

# Against the published code's outputs, in float32 (../shared/parity/README.md).
PARITY = {"rtol": 0.0, "atol": 1e-4}
# A merge is float64 algebra rounded once to float32: half a unit in the last place is 6e-8.
MERGED_RELATIVE = 1e-6
# Two float32 runs of the same products in another order.
FLOAT32 = {"rtol": 1e-4, "atol": 1e-5}
# Unit vectors of the engine against the PyTorch towers.
EMBEDDING = {"rtol": 0.0, "atol": 1e-5}
MIN_COSINE = 0.99999
# Losses of a short run over tokens that are kept in float16, whose numbers have 11 bits (5e-4), against float32.
HALF_TOKENS = {"rtol": 1e-3, "atol": 0.0}
# Other families' towers against the published code, both in float32 (../shared/seeds/families.md): vectors of unit
# length, and projections by their largest value where that is above 1; features and patches by their largest value.
FAMILY_VECTORS = 1e-5
FAMILY_PATCHES = 1e-4
# Figures of statistics against other programs, which print 15 digits, and sum in another order.
PUBLISHED_FIGURE = 1e-9
