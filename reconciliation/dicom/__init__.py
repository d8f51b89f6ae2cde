"""DICOM as bytes, files and messages: what the belt knows without a database."""
