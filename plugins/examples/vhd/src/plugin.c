/* Volumes are the VHD files of a directory: `NAME.vhd`. They are served read-only. */
#include <stdlib.h>
#include <string.h>
#include "fief.h"
#include "no_events.h"
#include "vhd.h"

#define ENDING ".vhd"
#define CODE(name) FIEF_TYPES_TYPES_ERROR_CODE_##name
#define COPY "; fief volume copy takes it to a pool where it can be written"
/* Most bytes of one read, in bytes. */
#define IO_MAX (1u << 20)

typedef exports_fief_storage_backend_pool_t pool_t;
typedef exports_fief_storage_backend_volume_t volume_t;
typedef fief_types_types_error_t error_t;

/* An open disk. */
struct exports_fief_storage_block_device_t {
    fief_storage_files_own_file_t file;
    vhd_footer footer;
    vhd_header header;
    /* Where each block begins, in sectors, as the file has it: big-endian. */
    uint8_t *table;
    /* The map of sectors of the block that was read last, and which that is. */
    uint8_t *map;
    uint32_t mapped;
};
typedef struct exports_fief_storage_block_device_t disk_t;

static fief_storage_files_borrow_file_t of(const disk_t *disk) {
    return fief_storage_files_borrow_file(disk->file);
}

/* All of `length` bytes at a place in the file. */
static bool read_file(const disk_t *disk, uint64_t offset, uint8_t *into, size_t length, error_t *error) {
    for (size_t done = 0; done < length;) {
        size_t wanted = length - done < IO_MAX ? length - done : IO_MAX;
        plugin_list_u8_t bytes;
        if (!fief_storage_files_method_file_read(of(disk), offset + done, (uint32_t)wanted, &bytes, error)) {
            return false;
        }
        if (bytes.len == 0 || bytes.len > wanted) {
            return fief_fail(error, CODE(CORRUPT), fief_text("the file ends before what it says is in it"));
        }
        memcpy(into + done, bytes.ptr, bytes.len);
        done += bytes.len;
        free(bytes.ptr);
    }
    return true;
}

static bool corrupt(error_t *error, text name, const char *why) {
    return why ? fief_fail(error, CODE(CORRUPT), fief_join(fief_c(name), ENDING, ": ", why, NULL)) : true;
}

static void let_go(disk_t *disk) {
    fief_storage_files_file_drop_own(disk->file);
    free(disk->table);
    free(disk->map);
}

/* Its file and what that says of itself; `allocated` is the length of the file. */
static bool look(const pool_t *pool, text name, disk_t *disk, uint64_t *allocated, error_t *error) {
    text in = fief_setting(pool->settings.ptr, pool->settings.len, "directory");
    text path = fief_join(fief_c(name), ENDING, NULL);
    memset(disk, 0, sizeof *disk);
    if (!fief_storage_files_static_file_open(&in, &path, false, &disk->file, error)) {
        if (error->code.tag == CODE(NOT_FOUND)) {
            error->message = fief_join("there is no volume ", fief_c(name), " in pool ", fief_c(pool->name), NULL);
        }
        return false;
    }
    uint8_t bytes[VHD_HEADER];
    bool good = fief_storage_files_method_file_size(of(disk), allocated, error);
    if (good && *allocated < VHD_FOOTER) {
        good = corrupt(error, name, "it is too short for a VHD");
    }
    good = good && read_file(disk, *allocated - VHD_FOOTER, bytes, VHD_FOOTER, error) &&
           corrupt(error, name, vhd_read_footer(bytes, *allocated, &disk->footer));
    if (good && !disk->footer.fixed) {
        good = read_file(disk, disk->footer.header, bytes, VHD_HEADER, error) &&
               corrupt(error, name, vhd_read_header(bytes, &disk->footer, &disk->header));
    }
    if (!good) {
        let_go(disk);
    }
    return good;
}

static bool find(const pool_t *pool, text name, volume_t *found, error_t *error) {
    disk_t disk;
    uint64_t allocated;
    if (!look(pool, name, &disk, &allocated, error)) {
        return false;
    }
    let_go(&disk);
    *found = (volume_t){
        .name = name,
        .size = disk.footer.size,
        .allocated = { true, allocated },
        .format = FIEF_STORAGE_VOLUMES_FORMAT_RAW,
    };
    return true;
}

static bool names(const pool_t *pool, plugin_list_string_t *all, error_t *error) {
    text in = fief_setting(pool->settings.ptr, pool->settings.len, "directory"), itself = fief_text("");
    return fief_storage_directories_names(&in, &itself, all, error);
}

bool exports_fief_storage_backend_info(pool_t *pool, exports_fief_storage_backend_pool_info_t *info, error_t *error) {
    plugin_list_string_t there;
    text in = fief_setting(pool->settings.ptr, pool->settings.len, "directory");
    *info = (exports_fief_storage_backend_pool_info_t){
        .identity = fief_join("vhd:", fief_c(in), NULL),
        .available = { true, 0 },
        .max_name = 200,
    };
    return names(pool, &there, error);
}

bool exports_fief_storage_backend_all(pool_t *pool, exports_fief_storage_backend_list_volume_t *all, error_t *error) {
    plugin_list_string_t there;
    if (!names(pool, &there, error)) {
        return false;
    }
    all->ptr = fief_room(there.len * sizeof *all->ptr);
    all->len = 0;
    for (size_t i = 0; i < there.len; i += 1) {
        text name;
        if (!fief_ends(there.ptr[i], ENDING, &name)) {
            continue;
        }
        if (find(pool, name, &all->ptr[all->len], error)) {
            all->len += 1;
        } else if (error->code.tag != CODE(NOT_FOUND)) {
            text message = fief_join("left out of the list: ", fief_c(name), NULL);
            plugin_tuple2_string_string_t cause = { fief_text("cause"), error->message };
            plugin_list_tuple2_string_string_t fields = { &cause, 1 };
            fief_types_log_write(FIEF_TYPES_LOG_LEVEL_WARN, &message, &fields);
        }
    }
    return true;
}

bool exports_fief_storage_backend_find(pool_t *pool, text *name, volume_t *found, error_t *error) {
    return find(pool, *name, found, error);
}

bool exports_fief_storage_backend_create(pool_t *pool, exports_fief_storage_backend_volume_spec_t *spec, volume_t *made,
                                         error_t *error) {
    (void)pool, (void)spec, (void)made;
    return fief_fail(error, CODE(UNSUPPORTED), fief_text("VHDs are read here, and not made"));
}

bool exports_fief_storage_backend_delete(pool_t *pool, text *name, error_t *error) {
    volume_t found;
    if (!find(pool, *name, &found, error)) {
        /* An absent one is deleted. */
        return error->code.tag == CODE(NOT_FOUND);
    }
    return fief_fail(error, CODE(UNSUPPORTED), fief_text("VHDs are read here, and not deleted"));
}

bool exports_fief_storage_backend_resize(pool_t *pool, text *name, uint64_t size, volume_t *resized, error_t *error) {
    if (!find(pool, *name, resized, error)) {
        return false;
    }
    return resized->size == size ? true : fief_fail(error, CODE(UNSUPPORTED), fief_text("VHDs are only read here" COPY));
}

static bool only_read(exports_fief_storage_backend_access_t access, error_t *error) {
    return access == FIEF_STORAGE_VOLUMES_ACCESS_READ_ONLY
               ? true
               : fief_fail(error, CODE(UNSUPPORTED), fief_text("VHDs are only read here" COPY));
}

bool exports_fief_storage_backend_attach(pool_t *pool, text *name, exports_fief_storage_backend_access_t access,
                                         exports_fief_storage_backend_attachment_t *attachment, error_t *error) {
    volume_t found;
    attachment->tag = EXPORTS_FIEF_STORAGE_BACKEND_ATTACHMENT_SERVED;
    return find(pool, *name, &found, error) && only_read(access, error);
}

bool exports_fief_storage_backend_detach(pool_t *pool, text *name, error_t *error) {
    (void)pool, (void)name, (void)error;
    return true;
}

/* The bytes of an open disk. */

bool exports_fief_storage_block_static_device_open(pool_t *pool, text *name, exports_fief_storage_block_access_t access,
                                                   exports_fief_storage_block_holder_t *holder,
                                                   exports_fief_storage_block_own_device_t *opened, error_t *error) {
    (void)holder;
    uint64_t length;
    disk_t *disk = fief_room(sizeof *disk);
    if (!only_read(access, error) || !look(pool, *name, disk, &length, error)) {
        return false;
    }
    disk->mapped = VHD_NOWHERE;
    if (disk->footer.fixed) {
        /* The bytes lie there as they are: the host may read them by itself. Where it will not, it asks. */
        if (!fief_storage_files_method_file_lend(of(disk), 0, 0, disk->footer.size, error)) {
            free(error->message.ptr);
        }
    } else {
        size_t size = disk->header.blocks * (size_t)4;
        disk->table = fief_room(size);
        disk->map = fief_room(disk->header.map_size);
        if (!read_file(disk, disk->header.table, disk->table, size, error)) {
            let_go(disk);
            return false;
        }
    }
    *opened = exports_fief_storage_block_device_new(disk);
    return true;
}

void exports_fief_storage_block_device_destructor(disk_t *disk) {
    let_go(disk);
    free(disk);
}

void exports_fief_storage_block_method_device_geometry(disk_t *disk, exports_fief_storage_block_geometry_t *geometry) {
    *geometry = (exports_fief_storage_block_geometry_t){
        .size = disk->footer.size,
        .block_size = VHD_SECTOR,
        .preferred_io = 64 << 10,
        .maximum_io = IO_MAX,
        .maximum_requests = 1,
        .can_extents = true,
        .read_only = true,
    };
}

/* Of `length` bytes from an offset on, how many lie in one block; and where that begins, in sectors. */
static uint32_t piece(const disk_t *disk, uint64_t offset, uint64_t length, uint32_t *begins) {
    uint32_t size = disk->header.block_size, within = (uint32_t)(offset % size);
    *begins = vhd_number(disk->table + offset / size * 4);
    return length < size - within ? (uint32_t)length : size - within;
}

static bool read_block(disk_t *disk, uint32_t begins, uint64_t offset, uint8_t *into, uint32_t length, error_t *error) {
    uint64_t place = (uint64_t)begins * VHD_SECTOR;
    uint32_t number = (uint32_t)(offset / disk->header.block_size), within = (uint32_t)(offset % disk->header.block_size);
    if (disk->mapped != number) {
        disk->mapped = VHD_NOWHERE;
        if (!read_file(disk, place, disk->map, disk->header.map_size, error)) {
            return false;
        }
        disk->mapped = number;
    }
    if (!read_file(disk, place + disk->header.map_size + within, into, length, error)) {
        return false;
    }
    vhd_clear(disk->map, within, into, length);
    return true;
}

static bool outside(const disk_t *disk, uint64_t offset, uint64_t length) {
    return offset % VHD_SECTOR || length % VHD_SECTOR || offset > disk->footer.size || length > disk->footer.size - offset;
}

bool exports_fief_storage_block_method_device_read(disk_t *disk, uint64_t offset, uint32_t length, plugin_list_u8_t *data,
                                                   error_t *error) {
    if (outside(disk, offset, length)) {
        return fief_fail(error, CODE(INVALID), fief_text("there are no such bytes"));
    }
    uint8_t *bytes = fief_room(length);
    bool good = true;
    if (disk->footer.fixed) {
        good = read_file(disk, offset, bytes, length, error);
    }
    for (uint32_t done = 0; good && !disk->footer.fixed && done < length;) {
        uint32_t begins, count = piece(disk, offset + done, length - done, &begins);
        if (begins == VHD_NOWHERE) {
            memset(bytes + done, 0, count);
        } else {
            good = read_block(disk, begins, offset + done, bytes + done, count, error);
        }
        done += count;
    }
    if (!good) {
        free(bytes);
        return false;
    }
    *data = (plugin_list_u8_t){ bytes, length };
    return true;
}

bool exports_fief_storage_block_method_device_extents(disk_t *disk, uint64_t offset, uint64_t length,
                                                      exports_fief_storage_block_list_extent_t *all, error_t *error) {
    if (outside(disk, offset, length)) {
        return fief_fail(error, CODE(INVALID), fief_text("there are no such bytes"));
    }
    all->ptr = fief_room(sizeof *all->ptr);
    all->len = 1;
    uint32_t begins, count = disk->footer.fixed ? 0 : piece(disk, offset, length, &begins);
    bool hole = !disk->footer.fixed && begins == VHD_NOWHERE;
    uint64_t together = disk->footer.fixed ? length : count;
    while (!disk->footer.fixed && together < length) {
        count = piece(disk, offset + together, length - together, &begins);
        if ((begins == VHD_NOWHERE) != hole) {
            break;
        }
        together += count;
    }
    all->ptr[0] = (fief_storage_volumes_extent_t){ .length = together, .hole = hole, .zero = hole };
    return true;
}

bool exports_fief_storage_block_method_device_write(disk_t *disk, uint64_t offset, plugin_list_u8_t *data, bool durable,
                                                    error_t *error) {
    (void)disk, (void)offset, (void)durable;
    free(data->ptr);
    return only_read(FIEF_STORAGE_VOLUMES_ACCESS_EXCLUSIVE, error);
}

bool exports_fief_storage_block_method_device_discard(disk_t *disk, uint64_t offset, uint64_t length, error_t *error) {
    (void)disk, (void)offset, (void)length;
    return only_read(FIEF_STORAGE_VOLUMES_ACCESS_EXCLUSIVE, error);
}

bool exports_fief_storage_block_method_device_write_zeroes(disk_t *disk, uint64_t offset, uint64_t length, bool keep,
                                                           bool durable, error_t *error) {
    (void)disk, (void)offset, (void)length, (void)keep, (void)durable;
    return only_read(FIEF_STORAGE_VOLUMES_ACCESS_EXCLUSIVE, error);
}

bool exports_fief_storage_block_method_device_flush(disk_t *disk, error_t *error) {
    (void)disk, (void)error;
    return true;
}

bool exports_fief_storage_block_method_device_close(disk_t *disk, error_t *error) {
    (void)disk, (void)error;
    return true;
}
