#include "fief.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *fief_room(size_t bytes) {
    void *room = malloc(bytes ? bytes : 1);
    if (!room) {
        abort();
    }
    return room;
}

text fief_text(const char *from) {
    return (text){ (uint8_t *)from, strlen(from) };
}

const char *fief_c(text from) {
    char *copy = fief_room(from.len + 1);
    memcpy(copy, from.ptr, from.len);
    copy[from.len] = 0;
    return copy;
}

bool fief_same(text one, text other) {
    return one.len == other.len && memcmp(one.ptr, other.ptr, one.len) == 0;
}

bool fief_ends(text whole, const char *end, text *rest) {
    size_t length = strlen(end);
    if (whole.len < length || memcmp(whole.ptr + whole.len - length, end, length) != 0) {
        return false;
    }
    if (rest) {
        *rest = (text){ whole.ptr, whole.len - length };
    }
    return true;
}

text fief_join(const char *first, ...) {
    size_t length = 0;
    va_list parts;
    va_start(parts, first);
    for (const char *part = first; part; part = va_arg(parts, const char *)) {
        length += strlen(part);
    }
    va_end(parts);
    text whole = { fief_room(length), 0 };
    va_start(parts, first);
    for (const char *part = first; part; part = va_arg(parts, const char *)) {
        size_t more = strlen(part);
        memcpy(whole.ptr + whole.len, part, more);
        whole.len += more;
    }
    va_end(parts);
    return whole;
}

const char *fief_number(uint64_t number) {
    char *digits = fief_room(21);
    char *at = digits + 20;
    *at = 0;
    do {
        *--at = '0' + (char)(number % 10);
        number /= 10;
    } while (number);
    return at;
}

bool fief_number_of(text from, uint64_t *number) {
    *number = 0;
    for (size_t i = 0; i < from.len; i += 1) {
        uint64_t digit = (uint64_t)from.ptr[i] - '0';
        if (digit > 9 || *number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    return from.len > 0;
}

text fief_setting(const fief_types_types_setting_t *settings, size_t count, const char *key) {
    for (size_t i = 0; i < count; i += 1) {
        if (fief_same(settings[i].key, fief_text(key))) {
            return settings[i].value;
        }
    }
    return fief_text("");
}

bool fief_fail(fief_types_types_error_t *error, uint8_t code, text message) {
    return fief_fail_with(error, code, fief_text(""), message);
}

bool fief_fail_with(fief_types_types_error_t *error, uint8_t code, text detail, text message) {
    memset(error, 0, sizeof *error);
    error->code.tag = code;
    if (code == FIEF_TYPES_TYPES_ERROR_CODE_IN_USE) {
        error->code.val.in_use = detail;
    } else if (code == FIEF_TYPES_TYPES_ERROR_CODE_OTHER) {
        error->code.val.other = detail;
    }
    error->message = message;
    error->retry.tag = FIEF_TYPES_TYPES_RETRY_NEVER;
    return false;
}
