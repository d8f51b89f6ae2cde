"""Who wrote an object or called a peer: derived from a UUID, so that no root has to be registered (PS3.5 B.2)."""

IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME = "2.25.84074089010601774087126637600747462678", "IMGSHARE_1"
