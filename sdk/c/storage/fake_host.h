/* A fake host for native tests: one directory with images of no bytes, in memory. */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H
#include "fief.h"

/* Forgets all of it. */
void fake_begin(void);
/* Puts something into the directory. */
void fake_put(const char *name, uint64_t size);
/* From now on, each function of the host's fails so; FAKE_WELL ends it. */
#define FAKE_WELL 255
void fake_fail(uint8_t code);

#endif
