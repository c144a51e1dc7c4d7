"""tarograd."""
