/* Volumes are files in a directory that the operator granted, one each: `NAME.raw`.

   What each function is for, when it is called and what an error means is in wit/deps/fief-storage. */
#include "fief.h"

#define ENDING ".raw"
#define CODE(name) FIEF_TYPES_TYPES_ERROR_CODE_##name

typedef exports_fief_storage_backend_pool_t pool_t;
typedef exports_fief_storage_backend_volume_t volume_t;
typedef exports_fief_storage_backend_error_t error_t;

static text directory(const pool_t *pool) {
    return fief_setting(pool->settings.ptr, pool->settings.len, "directory");
}

static text file(text name) {
    return fief_join(fief_c(name), ENDING, NULL);
}

static volume_t volume(text name, uint64_t size) {
    return (volume_t){ .name = name, .size = size, .format = FIEF_STORAGE_VOLUMES_FORMAT_RAW };
}

/* What is in the directory, volumes and whatever else. */
static bool names(const pool_t *pool, plugin_list_string_t *all, error_t *error) {
    text in = directory(pool), itself = fief_text("");
    return fief_storage_directories_names(&in, &itself, all, error);
}

static bool find(const pool_t *pool, text name, volume_t *found, error_t *error) {
    text in = directory(pool), path = file(name);
    fief_storage_images_image_t image;
    if (fief_storage_images_inspect(&in, &path, &image, error)) {
        *found = volume(name, image.virtual_size);
        return true;
    }
    if (error->code.tag == CODE(NOT_FOUND)) {
        error->message = fief_join("there is no volume ", fief_c(name), " in pool ", fief_c(pool->name), NULL);
    }
    return false;
}

bool exports_fief_storage_backend_info(pool_t *pool, exports_fief_storage_backend_pool_info_t *info, error_t *error) {
    plugin_list_string_t there;
    if (!names(pool, &there, error)) {
        return false;
    }
    *info = (exports_fief_storage_backend_pool_info_t){
        /* What says that two pools are the same storage. Another host's directory holds other files. */
        .identity = fief_join("directory:", fief_c(directory(pool)), NULL),
        .reachable_from_peers = false,
        .max_name = 200,
    };
    return true;
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
        /* One that was deleted since it was listed is none; one that cannot be read does not hide the others. */
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
    if (spec->format != FIEF_STORAGE_VOLUMES_FORMAT_RAW) {
        return fief_fail(error, CODE(UNSUPPORTED), fief_text("volumes are raw here"));
    }
    if (find(pool, spec->name, made, error)) {
        /* The same call may come twice: then the volume is there already. */
        return made->size == spec->size
                   ? true
                   : fief_fail(error, CODE(ALREADY_EXISTS),
                               fief_join("volume ", fief_c(spec->name), " is there, with ", fief_number(made->size), " bytes", NULL));
    }
    if (error->code.tag != CODE(NOT_FOUND)) {
        return false;
    }
    /* What changes something is asked of the host: it undoes it where this call fails later on. */
    text in = directory(pool), path = file(spec->name);
    fief_storage_images_image_t image;
    if (!fief_storage_images_create(&in, &path, spec->format, spec->size, spec->preallocation, NULL, &image, error)) {
        return false;
    }
    *made = volume(spec->name, image.virtual_size);
    return true;
}

bool exports_fief_storage_backend_delete(pool_t *pool, text *name, error_t *error) {
    /* One that is absent is deleted. */
    text in = directory(pool), path = file(*name);
    return fief_storage_images_delete(&in, &path, error);
}

bool exports_fief_storage_backend_resize(pool_t *pool, text *name, uint64_t size, volume_t *resized, error_t *error) {
    if (!find(pool, *name, resized, error)) {
        return false;
    }
    if (size < resized->size) {
        return fief_fail(error, CODE(INVALID),
                         fief_join("volume ", fief_c(*name), " has ", fief_number(resized->size), " bytes, and does not shrink", NULL));
    }
    text in = directory(pool), path = file(*name);
    fief_storage_images_image_t image;
    if (!fief_storage_images_resize(&in, &path, size, &image, error)) {
        return false;
    }
    *resized = volume(*name, image.virtual_size);
    return true;
}

bool exports_fief_storage_backend_attach(pool_t *pool, text *name, exports_fief_storage_backend_access_t access,
                                         exports_fief_storage_backend_attachment_t *attachment, error_t *error) {
    volume_t found;
    if (!find(pool, *name, &found, error)) {
        return false;
    }
    if (access == FIEF_STORAGE_VOLUMES_ACCESS_HANDOVER) {
        return fief_fail(error, CODE(UNSUPPORTED), fief_text("no other host reaches this directory"));
    }
    attachment->tag = EXPORTS_FIEF_STORAGE_BACKEND_ATTACHMENT_FILE;
    attachment->val.file = (exports_fief_storage_backend_file_node_t){
        .directory = directory(pool),
        .path = file(*name),
        .format = FIEF_STORAGE_VOLUMES_FORMAT_RAW,
    };
    return true;
}

bool exports_fief_storage_backend_detach(pool_t *pool, text *name, error_t *error) {
    (void)pool, (void)name, (void)error;
    return true;
}
