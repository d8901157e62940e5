"""Volumes are files in a directory that the operator granted, one each: `NAME.raw`.

What each function is for, when it is called and what an error means is in wit/deps/fief-storage.
"""

from componentize_py_types import Err
from fief import error, setting, warn
from wit_world import exports
from wit_world.exports.backend import Attachment_File, FileNode, PoolInfo
from wit_world.imports import directories, images, types
from wit_world.imports.volumes import Access, Format, Volume

ENDING = ".raw"


def directory(pool):
    return setting(pool.settings, "directory")


def volume(name, size):
    return Volume(name, size, None, Format.RAW, None)


class Backend(exports.Backend):
    def info(self, pool):
        directories.names(directory(pool), "")
        # What says that two pools are the same storage. Another host's directory holds other files.
        return PoolInfo(f"directory:{directory(pool)}", None, None, False, 200)

    def all(self, pool):
        found = []
        for name in directories.names(directory(pool), ""):
            if not name.endswith(ENDING):
                continue
            try:
                found.append(self.find(pool, name.removesuffix(ENDING)))
            except Err as failure:
                # One that was deleted since it was listed is none; one that cannot be read does not hide the others.
                if not isinstance(failure.value.code, types.ErrorCode_NotFound):
                    warn("left out of the list", name=name, cause=failure.value.message)
        return found

    def find(self, pool, name):
        try:
            return volume(name, images.inspect(directory(pool), name + ENDING).virtual_size)
        except Err as failure:
            if isinstance(failure.value.code, types.ErrorCode_NotFound):
                raise error(failure.value.code, f"there is no volume {name} in pool {pool.name}")
            raise

    def create(self, pool, spec):
        if spec.format != Format.RAW:
            raise error(types.ErrorCode_Unsupported(), "volumes are raw here")
        try:
            there = self.find(pool, spec.name)
        except Err as failure:
            if not isinstance(failure.value.code, types.ErrorCode_NotFound):
                raise
        else:
            # The same call may come twice: then the volume is there already.
            if there.size == spec.size:
                return there
            raise error(types.ErrorCode_AlreadyExists(), f"volume {spec.name} is there, with {there.size} bytes")
        # What changes something is asked of the host: it undoes it where this call fails later on.
        image = images.create(directory(pool), spec.name + ENDING, spec.format, spec.size, spec.preallocation, None)
        return volume(spec.name, image.virtual_size)

    def delete(self, pool, name):
        # One that is absent is deleted.
        images.delete(directory(pool), name + ENDING)

    def resize(self, pool, name, size):
        before = self.find(pool, name).size
        if size < before:
            raise error(types.ErrorCode_Invalid(), f"volume {name} has {before} bytes, and does not shrink")
        return volume(name, images.resize(directory(pool), name + ENDING, size).virtual_size)

    def attach(self, pool, name, access):
        self.find(pool, name)
        if access == Access.HANDOVER:
            raise error(types.ErrorCode_Unsupported(), "no other host reaches this directory")
        return Attachment_File(FileNode(directory(pool), name + ENDING, Format.RAW))

    def detach(self, pool, name):
        pass
