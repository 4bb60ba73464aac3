"""Facts of the published form that must be known before torch is imported: what usage is checked against."""

PUBLISHED_ADAPTER = "bottleneck"  # of every checkpoint that does not say
TARGET_ZOOM = 2  # the reconstruction's target has twice the tower's resolution; Zhou et al. 2023 (MRM)
