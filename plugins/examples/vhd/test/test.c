/* What the plugin makes of VHDs, with a fake host beneath it: one file, in memory. `make test`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fief.h"
#include "vhd.h"

#define CHECK(what) ((what) ? (void)0 : failed(#what, __LINE__))
#define BLOCK (2u << 20)

static void failed(const char *what, int line) {
    fprintf(stderr, "test/test.c:%d: this is not so: %s\n", line, what);
    exit(1);
}

/* The fake host. */
static uint8_t file[BLOCK + 64 * 1024];
static size_t length;
static exports_fief_storage_block_device_t *opened;

bool fief_storage_files_static_file_open(text *directory, text *path, bool writable, fief_storage_files_own_file_t *found,
                                         fief_types_types_error_t *error) {
    (void)directory, (void)found;
    CHECK(!writable);
    return fief_same(*path, fief_text("a.vhd")) ? true : fief_fail(error, FIEF_TYPES_TYPES_ERROR_CODE_NOT_FOUND, fief_text("no file"));
}
fief_storage_files_borrow_file_t fief_storage_files_borrow_file(fief_storage_files_own_file_t own) {
    return (fief_storage_files_borrow_file_t){ own.__handle };
}
void fief_storage_files_file_drop_own(fief_storage_files_own_file_t own) { (void)own; }
bool fief_storage_files_method_file_size(fief_storage_files_borrow_file_t self, uint64_t *size, fief_types_types_error_t *error) {
    (void)self, (void)error;
    *size = length;
    return true;
}
bool fief_storage_files_method_file_read(fief_storage_files_borrow_file_t self, uint64_t offset, uint32_t most,
                                         plugin_list_u8_t *bytes, fief_types_types_error_t *error) {
    (void)self, (void)error;
    size_t there = offset < length ? length - offset : 0;
    bytes->len = most < there ? most : there;
    bytes->ptr = fief_room(bytes->len);
    memcpy(bytes->ptr, file + (bytes->len ? offset : 0), bytes->len);
    return true;
}
bool fief_storage_files_method_file_lend(fief_storage_files_borrow_file_t self, uint64_t at, uint64_t offset, uint64_t size,
                                         fief_types_types_error_t *error) {
    (void)self, (void)at, (void)offset, (void)size;
    return fief_fail(error, FIEF_TYPES_TYPES_ERROR_CODE_UNSUPPORTED, fief_join("not here", NULL));
}
bool fief_storage_directories_names(text *directory, text *path, plugin_list_string_t *names, fief_types_types_error_t *error) {
    (void)directory, (void)path, (void)error;
    static text all[2];
    all[0] = fief_text("readme"), all[1] = fief_text("a.vhd");
    *names = (plugin_list_string_t){ all, 2 };
    return true;
}
void fief_types_log_write(fief_types_log_level_t level, text *message, plugin_list_tuple2_string_string_t *fields) {
    (void)level, (void)message, (void)fields;
}
exports_fief_storage_block_own_device_t exports_fief_storage_block_device_new(exports_fief_storage_block_device_t *device) {
    opened = device;
    return (exports_fief_storage_block_own_device_t){ 1 };
}
plugin_waitable_set_t plugin_waitable_set_new(void) { return 1; }

/* VHDs. */
static void put(size_t at, uint64_t number, int bytes) {
    for (int i = 0; i < bytes; i += 1) file[at + i] = (uint8_t)(number >> 8 * (bytes - 1 - i));
}
static void sum(size_t at, size_t size, size_t place) {
    uint32_t all = 0;
    put(at + place, 0, 4);
    for (size_t i = 0; i < size; i += 1) all += file[at + i];
    put(at + place, ~all, 4);
}
static void footer(uint64_t size, int type) {
    size_t at = length;
    memcpy(file + at, "conectix", 8);
    put(at + 16, 512, 8), put(at + 48, size, 8), put(at + 60, type, 4);
    length += VHD_FOOTER;
    sum(at, VHD_FOOTER, 64);
}
/* Three blocks, of which the one in the middle is stored, and of that the sectors 1 and 9. */
static void dynamic(int type) {
    memset(file, 0, sizeof file);
    memcpy(file + 512, "cxsparse", 8);
    put(512 + 16, 2048, 8), put(512 + 28, 3, 4), put(512 + 32, BLOCK, 4);
    sum(512, VHD_HEADER, 36);
    put(2048, VHD_NOWHERE, 4), put(2052, 8, 4), put(2056, VHD_NOWHERE, 4);
    file[4096] = 0x40, file[4097] = 0x40;
    memset(file + 4096 + 512, 7, BLOCK);
    length = 4096 + 512 + BLOCK;
    footer(3ull * BLOCK - 512, type);
}

static fief_types_types_setting_t settings[1];
static exports_fief_storage_backend_pool_t pool;
static fief_types_types_error_t error;

static bool find(exports_fief_storage_backend_volume_t *volume) {
    text name = fief_text("a");
    return exports_fief_storage_backend_find(&pool, &name, volume, &error);
}
static bool open_disk(uint8_t access) {
    text name = fief_text("a");
    exports_fief_storage_block_own_device_t own;
    return exports_fief_storage_block_static_device_open(&pool, &name, access, NULL, &own, &error);
}
static uint8_t byte_at(uint64_t offset) {
    plugin_list_u8_t data;
    CHECK(exports_fief_storage_block_method_device_read(opened, offset / 512 * 512, 512, &data, &error) && data.len == 512);
    return data.ptr[offset % 512];
}

static void what_is_stored_is_read_and_all_else_is_zero(void) {
    exports_fief_storage_backend_volume_t volume;
    dynamic(3);
    CHECK(find(&volume) && volume.size == 3ull * BLOCK - 512);
    CHECK(!open_disk(FIEF_STORAGE_VOLUMES_ACCESS_EXCLUSIVE) && error.code.tag == FIEF_TYPES_TYPES_ERROR_CODE_UNSUPPORTED);
    CHECK(open_disk(FIEF_STORAGE_VOLUMES_ACCESS_READ_ONLY));
    CHECK(byte_at(0) == 0 && byte_at(BLOCK) == 0 && byte_at(BLOCK + 512) == 7 && byte_at(BLOCK + 1023) == 7);
    CHECK(byte_at(BLOCK + 1024) == 0 && byte_at(BLOCK + 9 * 512) == 7 && byte_at(3ull * BLOCK - 1024) == 0);
    /* Across all of them at once. */
    plugin_list_u8_t data;
    CHECK(exports_fief_storage_block_method_device_read(opened, BLOCK - 512, 1536, &data, &error));
    CHECK(data.ptr[511] == 0 && data.ptr[512] == 0 && data.ptr[1024] == 7);
    exports_fief_storage_block_list_extent_t extents;
    uint64_t rest = 3ull * BLOCK - 512;
    for (int i = 0; i < 3; i += 1) {
        uint64_t offset = i * (uint64_t)BLOCK;
        CHECK(exports_fief_storage_block_method_device_extents(opened, offset, rest - offset, &extents, &error));
        CHECK(extents.ptr[0].hole == (i != 1) && extents.ptr[0].length == (i < 2 ? BLOCK : BLOCK - 512));
    }
    for (int i = 0; i < 3; i += 1) {
        uint64_t bad[3][2] = { { 1, 512 }, { rest, 512 }, { 512, (uint64_t)-512 } };
        CHECK(!exports_fief_storage_block_method_device_extents(opened, bad[i][0], bad[i][1], &extents, &error));
    }
    exports_fief_storage_block_device_destructor(opened);
}

static void a_fixed_one_lies_as_it_is(void) {
    memset(file, 0, sizeof file);
    file[1024] = 9;
    length = 4096;
    footer(4096, 2);
    CHECK(open_disk(FIEF_STORAGE_VOLUMES_ACCESS_READ_ONLY) && byte_at(1024) == 9 && byte_at(4095) == 0);
    exports_fief_storage_block_device_destructor(opened);
}

static void what_is_damaged_is_told(void) {
    exports_fief_storage_backend_volume_t volume;
    exports_fief_storage_backend_list_volume_t all;
    dynamic(4);
    CHECK(!find(&volume) && fief_same(error.message, fief_text("a.vhd: it stands on another VHD; merge them first")));
    CHECK(exports_fief_storage_backend_all(&pool, &all, &error) && all.len == 0);
    /* Each byte of footer and header counts, and so does where the file is cut. */
    for (size_t at = 0; at < VHD_FOOTER + VHD_HEADER; at += 1) {
        dynamic(3);
        size_t place = at < VHD_FOOTER ? length - VHD_FOOTER + at : 512 + at - VHD_FOOTER;
        file[place] ^= 1;
        CHECK(!find(&volume) && error.code.tag == FIEF_TYPES_TYPES_ERROR_CODE_CORRUPT);
    }
    for (size_t cut = 1; cut < 3000; cut += 97) {
        dynamic(3);
        length -= cut;
        CHECK(!find(&volume));
    }
}

int main(void) {
    settings[0] = (fief_types_types_setting_t){ fief_text("directory"), fief_text("disks") };
    pool = (exports_fief_storage_backend_pool_t){ .name = fief_text("old"), .settings = { settings, 1 } };
    what_is_stored_is_read_and_all_else_is_zero();
    a_fixed_one_lies_as_it_is();
    what_is_damaged_is_told();
    puts("all tests passed");
}
