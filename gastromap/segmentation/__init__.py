"""Find and measure the tumour in a whole portal-venous CT.

The application starts with ``lazy``, which imports the rest when it is needed; so nothing is imported here.
"""
