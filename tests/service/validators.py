"""What others say of a DICOM object: dicom3tools' dciodvfy and dcmtk's dsrdump."""

import subprocess

from service.peers import find_program


def list_errors(data, folder):
    """Return the lines of dciodvfy that are errors, and anything that it said of a value's form."""
    path = folder / "checked.dcm"
    path.write_bytes(data)
    done = subprocess.run([find_program("dciodvfy"), "-new", str(path)], capture_output=True, timeout=120)
    said = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    assert any("SR" in line or "SecondaryCapture" in line or "SCImage" in line for line in said), said
    return [line for line in said if line.startswith(("Error", "Abort")) or done.returncode and "arning" not in line]


def dump_report(data, folder):
    """Return what dsrdump shows of a report, as text; it must end with 0."""
    path = folder / "dumped.dcm"
    path.write_bytes(data)
    command = [find_program("dsrdump"), "+U8", "+Pl", "+Pc", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8")
