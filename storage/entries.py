"""What a zip of strangers may hold, judged by its list before anything is unpacked."""

import re
import stat
import struct
import unicodedata
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from tools.dataset import MOST
from tools.errors import BadArchive, TooLarge

MAX_PHOTO_BYTES = 20 * 2**20
MAX_TOTAL_BYTES = 2**30
#: The list at a zip's end, which `zipfile` reads whole: 400 long names fit in it, a million entries do not.
MAX_LIST_BYTES = 256 * 1024
#: Pictures hardly shrink in a zip. Small ones may (a plain white PNG), so only what is large is held to it.
MAX_RATIO = 100
RATIO_FROM_BYTES = 2**20

PICTURES = {".png", ".jpg", ".jpeg", ".webp"}
END = struct.Struct("<4s4H2LH")  # end of central directory: signature, 2 disks, 2 counts, size, offset, comment length
END_SIGNATURE = b"PK\x05\x06"
ZIP64_SIGNATURE = b"PK\x06\x07"
ZIP64_BYTES = 20


def check_end(path: Path) -> None:
    """Look at a zip's last bytes before `zipfile` does, which believes any size, and skips what stands around a zip."""
    whole = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, whole - END.size - 0xFFFF))
        tail = file.read()
    found = tail.rfind(END_SIGNATURE)
    if found < 0 or len(tail) - found < END.size:
        raise BadArchive("The file is not a zip: send the photos packed as a plain zip.")
    _, disk, first_disk, _, count, size, offset, comment = END.unpack_from(tail, found)
    is_zip64 = tail[:found][-ZIP64_BYTES:].startswith(ZIP64_SIGNATURE) or count == 0xFFFF or size == 0xFFFFFFFF
    if disk or first_disk or is_zip64:
        raise BadArchive("The zip is split or of the zip64 kind: pack the photos anew as one plain zip.")
    if size > MAX_LIST_BYTES:
        raise BadArchive(f"The zip lists {count} entries: send at most {MOST} photos and their captions.")
    end = whole - len(tail) + found
    if offset + size != end or end + END.size + comment != whole:
        raise BadArchive("There are other bytes before or after the zip: pack the photos anew as a plain zip.")


def check_entries(archive: ZipFile, entries: list[ZipInfo]) -> None:
    """Refuse the whole archive for one bad entry: who sends such a thing did not mean to, or did."""
    for entry in archive.infolist():
        check_entry(entry)
    check_overlap(archive)
    check_twins(entries)
    check_strangers(entries)
    photos = sum(suffix(entry) in PICTURES for entry in entries)
    if not 1 <= photos <= MOST:
        raise BadArchive(f"The zip holds {photos} photos: send 1 to {MOST}, as PNG, JPEG or WebP.")
    if sum(entry.file_size for entry in entries) > MAX_TOTAL_BYTES:
        raise TooLarge(f"The zip unpacks to more than {MAX_TOTAL_BYTES // 2**30} GB: send fewer or smaller photos.")


def check_entry(entry: ZipInfo) -> None:
    """Refuse an entry that would step outside, is no plain file, or hides what it holds."""
    name = entry.orig_filename.replace("\\", "/")
    if "\0" in name or name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        raise BadArchive(f"{shown(entry)} points outside the zip: pack plain file names.")
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise BadArchive(f"{shown(entry)} is a link or a device: pack the photo itself.")
    if entry.flag_bits & 0x2041:  # bits 0, 6 and 13: encrypted in one way or another
        raise BadArchive(f"{shown(entry)} is encrypted: pack the photos without a password.")
    if entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise BadArchive(f"{shown(entry)} is compressed in an uncommon way: pack the photos anew as a plain zip.")
    ratio = entry.file_size / max(1, entry.compress_size)
    if entry.file_size > MAX_PHOTO_BYTES or (entry.file_size > RATIO_FROM_BYTES and ratio > MAX_RATIO):
        raise TooLarge(f"{shown(entry)} is too large, or packed too tightly: send photos under 20 MB each.")


def check_overlap(archive: ZipFile) -> None:
    """Refuse entries that share bytes, or none: so a small zip unpacks to terabytes, or an entry is a lie."""
    end = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise BadArchive(f"{shown(entry)} overlaps another entry: pack the photos anew as a plain zip.")
        end = entry.header_offset + 30 + entry.compress_size  # 30 bytes of header, and at least no name
    if end > archive.start_dir:
        raise BadArchive("The sizes in the zip are wrong: pack the photos anew as a plain zip.")


def check_twins(entries: list[ZipInfo]) -> None:
    """Refuse two entries of one name, also where only some file systems take them for one."""
    seen: set[str] = set()
    for entry in entries:
        if same_name(entry.filename) in seen:
            raise BadArchive(f"{shown(entry)} is in the zip twice: give each photo a name of its own.")
        seen.add(same_name(entry.filename))


def check_strangers(entries: list[ZipInfo]) -> None:
    """Refuse what is neither a photo nor the caption of one, and name it."""
    photos = {stem(entry) for entry in entries if suffix(entry) in PICTURES}
    strangers = [
        entry
        for entry in entries
        if suffix(entry) not in PICTURES and not (suffix(entry) == ".txt" and stem(entry) in photos)
    ]
    if strangers:
        names = ", ".join(map(shown, strangers[:5])) + (" and more" if len(strangers) > 5 else "")
        raise BadArchive(
            f"Neither a photo nor the caption of one: {names}. Send PNG, JPEG or WebP, and .txt of that name."
        )


def is_junk(entry: ZipInfo) -> bool:
    """Tell what file managers leave behind from what somebody packed."""
    path = PurePosixPath(entry.filename)
    return "__MACOSX" in path.parts or path.name.startswith(".") or path.name.lower() in {"thumbs.db", "desktop.ini"}


def suffix(entry: ZipInfo) -> str:
    """Answer the ending of an entry's name, in lower case."""
    return PurePosixPath(entry.filename.replace("\\", "/")).suffix.lower()


def stem(entry: ZipInfo) -> str:
    """Answer an entry's name without its ending: a caption has that of its photo."""
    return same_name(entry.filename).removesuffix(suffix(entry))


def same_name(name: str) -> str:
    """Bring names that some file system takes for one into one form."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return str(PurePosixPath(folded.replace("\\", "/")))


def shown(entry: ZipInfo) -> str:
    """Quote a name so that it is safe to print."""
    return ascii(entry.filename[:80])
