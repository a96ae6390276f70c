if not __name__.startswith("inachus."):
    raise ImportError("import inachus.models, not models: two names would make two different Tensor classes")
