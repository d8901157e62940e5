"""What the plugin does, with a fake host beneath it: `make test`."""

import native  # Before anything else.
import unittest

from app import Backend
from componentize_py_types import Err
from wit_world.exports.backend import VolumeSpec
from wit_world.imports import directories, images, types
from wit_world.imports.volumes import Format, Pool, Preallocation


class FakeHost:
    """One directory with images of no bytes, in memory; `failing` is the error of each call from now on."""

    def __init__(self):
        self.sizes, self.failing = {}, None
        directories.names = lambda directory, path: self.well() or list(self.sizes)
        images.inspect = lambda directory, path: self.well() or self.image(path)
        images.create, images.resize, images.delete = self.create, self.resize, self.delete

    def well(self):
        if self.failing:
            raise Err(types.Error(self.failing, "the fake host was told to fail", types.Retry_Never()))

    def image(self, path):
        if path not in self.sizes:
            raise Err(types.Error(types.ErrorCode_NotFound(), "no such image", types.Retry_Never()))
        return images.Image(Format.RAW, self.sizes[path], 0, None)

    def create(self, directory, path, format, size, preallocation, backing):
        self.well()
        self.sizes[path] = size
        return self.image(path)

    def resize(self, directory, path, size):
        self.well()
        self.sizes[path] = size
        return self.image(path)

    def delete(self, directory, path):
        self.well()
        self.sizes.pop(path, None)


class Volumes(unittest.TestCase):
    def setUp(self):
        self.host, self.backend = FakeHost(), Backend()
        self.pool = Pool("mine", [types.Setting("directory", "volumes")])

    def create(self, name, size):
        return self.backend.create(self.pool, VolumeSpec(name, size, Format.RAW, Preallocation.SPARSE))

    def refused(self, code, call):
        with self.assertRaises(Err) as raised:
            call()
        self.assertIsInstance(raised.exception.value.code, code)

    def test_a_volume_is_made_found_and_deleted(self):
        self.assertEqual(self.create("a", 10).size, 10)
        self.assertEqual(self.create("a", 10), self.backend.find(self.pool, "a"))
        self.refused(types.ErrorCode_AlreadyExists, lambda: self.create("a", 11))
        self.refused(types.ErrorCode_Invalid, lambda: self.backend.resize(self.pool, "a", 9))
        self.assertEqual(self.backend.resize(self.pool, "a", 20).size, 20)
        self.backend.delete(self.pool, "a")
        self.backend.delete(self.pool, "a")
        self.refused(types.ErrorCode_NotFound, lambda: self.backend.find(self.pool, "a"))

    def test_what_is_no_volume_is_left_out(self):
        self.host.sizes = {"a.raw": 1, "readme": 2}
        self.assertEqual([volume.name for volume in self.backend.all(self.pool)], ["a"])

    def test_what_the_host_refuses_is_told_as_it_says_it(self):
        self.host.failing = types.ErrorCode_Exhausted()
        self.refused(types.ErrorCode_Exhausted, lambda: self.create("a", 10))
