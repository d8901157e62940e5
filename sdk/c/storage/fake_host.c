#include "fake_host.h"
#include <stdio.h>

#define MOST 16

static struct { text name; uint64_t size; } files[MOST];
static size_t count;
static uint8_t failing = FAKE_WELL;

void fake_begin(void) {
    count = 0;
    failing = FAKE_WELL;
}

void fake_put(const char *name, uint64_t size) {
    files[count].name = fief_text(name);
    files[count++].size = size;
}

void fake_fail(uint8_t code) {
    failing = code;
}

static bool well(fief_types_types_error_t *error) {
    return failing == FAKE_WELL ? true : fief_fail(error, failing, fief_text("the fake host was told to fail"));
}

static size_t place(text name) {
    size_t i = 0;
    while (i < count && !fief_same(files[i].name, name)) i += 1;
    return i;
}

static bool tell(size_t i, fief_storage_images_image_t *image, fief_types_types_error_t *error) {
    if (i == count) {
        return fief_fail(error, FIEF_TYPES_TYPES_ERROR_CODE_NOT_FOUND, fief_text("no such image"));
    }
    *image = (fief_storage_images_image_t){ .format = FIEF_STORAGE_VOLUMES_FORMAT_RAW, .virtual_size = files[i].size };
    return true;
}

bool fief_storage_directories_names(text *directory, text *path, plugin_list_string_t *names, fief_types_types_error_t *error) {
    (void)directory, (void)path;
    names->ptr = fief_room(count * sizeof *names->ptr);
    for (names->len = 0; names->len < count; names->len += 1) {
        names->ptr[names->len] = files[names->len].name;
    }
    return well(error);
}

bool fief_storage_images_inspect(text *directory, text *path, fief_storage_images_image_t *image, fief_types_types_error_t *error) {
    (void)directory;
    return well(error) && tell(place(*path), image, error);
}

bool fief_storage_images_create(text *directory, text *path, fief_storage_images_format_t format, uint64_t size,
                                fief_storage_images_preallocation_t preallocation, text *backing,
                                fief_storage_images_image_t *image, fief_types_types_error_t *error) {
    (void)directory, (void)format, (void)preallocation, (void)backing;
    if (!well(error)) {
        return false;
    }
    if (place(*path) < count || count == MOST) {
        return fief_fail(error, FIEF_TYPES_TYPES_ERROR_CODE_ALREADY_EXISTS, fief_text("it is there"));
    }
    fake_put(fief_c(*path), size);
    return tell(count - 1, image, error);
}

bool fief_storage_images_resize(text *directory, text *path, uint64_t size, fief_storage_images_image_t *image,
                                fief_types_types_error_t *error) {
    (void)directory;
    if (!well(error) || !tell(place(*path), image, error)) {
        return false;
    }
    files[place(*path)].size = size;
    return tell(place(*path), image, error);
}

bool fief_storage_images_delete(text *directory, text *path, fief_types_types_error_t *error) {
    (void)directory;
    size_t i = place(*path);
    if (!well(error)) {
        return false;
    }
    if (i < count) {
        files[i] = files[--count];
    }
    return true;
}

void fief_types_log_write(fief_types_log_level_t level, text *message, plugin_list_tuple2_string_string_t *fields) {
    (void)level, (void)fields;
    printf("log: %s\n", fief_c(*message));
}
