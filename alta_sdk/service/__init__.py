"""The workstation service: radiographs arrive by DICOM, structured reports go back, a page shows them."""
