"""Where catalogues and ratings come from: files, or a drawn world without any file."""
