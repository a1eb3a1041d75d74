"""A profile: the Coronel kernel under a vendor's names of the managers."""

from importlib import resources

API_VERSION = 1
PROFILES = (resources.files(__package__) / "vendor.toml",)
