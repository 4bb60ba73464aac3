"""From bytes to grey pixels: everything that a DICOM file says is read here, and only here."""
