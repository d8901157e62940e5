/* Texts, settings, errors and the log: what plugins in C need beside the bindings (plugin.h, made from wit/). Natively, in an
   author's tests, the same names are there, over the C library of the machine.

   Texts of the interfaces have a length and no zero at their end. What an export gives is freed once the host has it; nothing else
   is. That of a control call lives for that one call, so a plugin need not care; one that serves volumes frees what it is given
   and does not give on. */
#ifndef FIEF_H
#define FIEF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plugin.h"

typedef plugin_string_t text;

/* A text of C's, not copied. */
text fief_text(const char *from);
/* As C has it: a copy with a zero at its end. */
const char *fief_c(text from);
bool fief_same(text one, text other);
/* Whether it ends so; then `*rest` is what stands before, unless `rest` is NULL. */
bool fief_ends(text whole, const char *end, text *rest);
/* Several texts of C's as one; the last argument is NULL. */
text fief_join(const char *first, ...);
/* In decimal digits, as C has it. */
const char *fief_number(uint64_t number);
/* The number that a text writes in decimal digits; false where it is none, or one past 64 bits. */
bool fief_number_of(text from, uint64_t *number);
/* Room that is never given back; where there is none, the instance ends. */
void *fief_room(size_t bytes);

/* The value of a setting; empty where the operator left it out. Of a required one, or one with a default, there always is one. */
text fief_setting(const fief_types_types_setting_t *settings, size_t count, const char *key);

/* Fills in an error and gives false, as an export that fails does: `return fief_fail(error, …)`.
   `code` is one of FIEF_TYPES_TYPES_ERROR_CODE_…, but for IN_USE and OTHER, which carry a text of their own. */
bool fief_fail(fief_types_types_error_t *error, uint8_t code, text message);
/* `in-use`, with who uses it; `other`, with a word of the plugin's own. */
bool fief_fail_with(fief_types_types_error_t *error, uint8_t code, text detail, text message);

#endif
