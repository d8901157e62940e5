/* The parts of C's library that a plugin needs inside WebAssembly. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Memory: blocks of powers of two, a list of free ones for each size, the rest from the end of memory. An instance that
   answers one call ends soon after; one that serves a volume lives for days.

   The bindings free what an export gave, once the host has it. Texts that the compiler put into the program are among that, and
   the same text twice: what is no block, or free already, is left alone. */
typedef struct block {
    size_t class;
    struct block *next;
} block;

#define HEAD 16 /* so that what follows is aligned for anything */
#define SMALLEST 5
#define LARGEST 30
#define PAGE 65536
#define FREE 0x80000000

extern unsigned char __heap_base;
static block *unused[LARGEST + 1];
static uintptr_t top, end;

static void *fresh(size_t class) {
    size_t length = HEAD + ((size_t)1 << class);
    if (top == 0) {
        top = ((uintptr_t)&__heap_base + HEAD - 1) & ~(uintptr_t)(HEAD - 1);
        end = __builtin_wasm_memory_size(0) * PAGE;
    }
    if (end - top < length) {
        size_t pages = (length - (end - top) + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) {
            return NULL;
        }
        end += pages * PAGE;
    }
    block *new = (block *)top;
    top += (length + HEAD - 1) & ~(size_t)(HEAD - 1);
    new->class = class;
    return new;
}

void *malloc(size_t size) {
    size_t class = SMALLEST;
    while (class <= LARGEST && ((size_t)1 << class) < size) {
        class += 1;
    }
    if (class > LARGEST) {
        return NULL;
    }
    block *found = unused[class];
    if (found) {
        unused[class] = found->next;
        found->class = class;
    } else if (!(found = fresh(class))) {
        return NULL;
    }
    return (unsigned char *)found + HEAD;
}

void free(void *old) {
    uintptr_t at = (uintptr_t)old;
    if (at < (uintptr_t)&__heap_base + HEAD || at >= top || at % HEAD) {
        return;
    }
    block *head = (block *)(at - HEAD);
    size_t class = head->class;
    if (class <= LARGEST) {
        head->class = class | FREE;
        head->next = unused[class];
        unused[class] = head;
    }
}

void *realloc(void *old, size_t size) {
    if (!old) {
        return malloc(size);
    }
    size_t room = (size_t)1 << ((block *)((unsigned char *)old - HEAD))->class;
    if (size <= room) {
        return old;
    }
    void *new = malloc(size);
    if (new) {
        memcpy(new, old, room);
        free(old);
    }
    return new;
}

void *calloc(size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) {
        return NULL;
    }
    void *new = malloc(count * size);
    return new ? memset(new, 0, count * size) : NULL;
}

_Noreturn void abort(void) {
    __builtin_trap();
}

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    return memmove(to, from, length);
}

void *memmove(void *to, const void *from, size_t length) {
    unsigned char *into = to;
    const unsigned char *bytes = from;
    if (into < bytes) {
        for (size_t i = 0; i < length; i += 1) into[i] = bytes[i];
    } else {
        for (size_t i = length; i > 0; i -= 1) into[i - 1] = bytes[i - 1];
    }
    return to;
}

void *memset(void *to, int byte, size_t length) {
    for (size_t i = 0; i < length; i += 1) ((unsigned char *)to)[i] = (unsigned char)byte;
    return to;
}

int memcmp(const void *one, const void *other, size_t length) {
    const unsigned char *a = one, *b = other;
    for (size_t i = 0; i < length; i += 1) {
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) length += 1;
    return length;
}

int strcmp(const char *one, const char *other) {
    while (*one && *one == *other) one += 1, other += 1;
    return (unsigned char)*one - (unsigned char)*other;
}
