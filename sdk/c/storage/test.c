/* What the plugin does, with a fake host beneath it: `make test`. */
#include <stdio.h>
#include <stdlib.h>
#include "fake_host.h"

#define CHECK(what) ((what) ? (void)0 : failed(#what, __LINE__))
#define CODE(name) FIEF_TYPES_TYPES_ERROR_CODE_##name

static void failed(const char *what, int line) {
    fprintf(stderr, "test/test.c:%d: this is not so: %s\n", line, what);
    exit(1);
}

static fief_types_types_setting_t settings[1];
static exports_fief_storage_backend_pool_t pool;
static exports_fief_storage_backend_volume_t volume;
static exports_fief_storage_backend_error_t error;

static bool create(const char *name, uint64_t size) {
    exports_fief_storage_backend_volume_spec_t spec = { .name = fief_text(name), .size = size };
    return exports_fief_storage_backend_create(&pool, &spec, &volume, &error);
}

static void a_volume_is_made_found_and_deleted(void) {
    CHECK(create("a", 10) && volume.size == 10);
    CHECK(create("a", 10));
    CHECK(!create("a", 11) && error.code.tag == CODE(ALREADY_EXISTS));
    text name = fief_text("a");
    CHECK(exports_fief_storage_backend_find(&pool, &name, &volume, &error) && fief_same(volume.name, name));
    CHECK(!exports_fief_storage_backend_resize(&pool, &name, 9, &volume, &error) && error.code.tag == CODE(INVALID));
    CHECK(exports_fief_storage_backend_resize(&pool, &name, 20, &volume, &error) && volume.size == 20);
    CHECK(exports_fief_storage_backend_delete(&pool, &name, &error));
    CHECK(exports_fief_storage_backend_delete(&pool, &name, &error));
    CHECK(!exports_fief_storage_backend_find(&pool, &name, &volume, &error) && error.code.tag == CODE(NOT_FOUND));
}

static void what_is_no_volume_is_left_out(void) {
    exports_fief_storage_backend_list_volume_t all;
    fake_put("a.raw", 1);
    fake_put("readme", 2);
    CHECK(exports_fief_storage_backend_all(&pool, &all, &error));
    CHECK(all.len == 1 && fief_same(all.ptr[0].name, fief_text("a")));
}

static void what_the_host_refuses_is_told_as_it_says_it(void) {
    fake_fail(CODE(EXHAUSTED));
    CHECK(!create("a", 10) && error.code.tag == CODE(EXHAUSTED));
}

int main(void) {
    settings[0] = (fief_types_types_setting_t){ fief_text("directory"), fief_text("volumes") };
    pool = (exports_fief_storage_backend_pool_t){ .name = fief_text("mine"), .settings = { settings, 1 } };
    void (*const tests[])(void) = {
        a_volume_is_made_found_and_deleted,
        what_is_no_volume_is_left_out,
        what_the_host_refuses_is_told_as_it_says_it,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i += 1) {
        fake_begin();
        tests[i]();
    }
    puts("all tests passed");
}
