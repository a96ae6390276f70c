"""Maps the top-level folders below one import name: `inachus.engine` is `engine/`, and so on.

Everything else is in pyproject.toml; this file only finds the sub-packages, which static metadata cannot.
"""

from setuptools import find_packages, setup

FOLDERS = ("engine", "kernels", "models")

packages, package_dir = ["inachus"], {"inachus": "engine/_root"}
for folder in FOLDERS:
    inside = [name for name in find_packages(folder) if name != "_root"]
    packages += [f"inachus.{folder}"] + [f"inachus.{folder}.{name}" for name in inside]
    package_dir[f"inachus.{folder}"] = folder

sources = ["py.typed", "*.cu", "*.cuh", "*.h", "*.cpp", "*.json"]  # kernels are compiled where they run
setup(packages=packages, package_dir=package_dir, package_data=dict.fromkeys(packages, sources))
