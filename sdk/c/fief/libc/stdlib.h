/* What bindings and plugins need of C's library where there is none: see ../libc.c. */
#ifndef FIEF_STDLIB_H
#define FIEF_STDLIB_H
#include <stddef.h>
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);
void free(void *old);
_Noreturn void abort(void);
#endif
