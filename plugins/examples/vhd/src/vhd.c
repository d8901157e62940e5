#include "vhd.h"
#include <string.h>

#define FIXED 2
#define DYNAMIC 3
#define DIFFERENCING 4

uint32_t vhd_number(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint64_t number64(const uint8_t *bytes) {
    return (uint64_t)vhd_number(bytes) << 32 | vhd_number(bytes + 4);
}

/* The complement of the sum of all bytes but those of the sum itself. */
static bool sums_up(const uint8_t *bytes, size_t length, size_t at) {
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 1) {
        sum += i >= at && i < at + 4 ? 0 : bytes[i];
    }
    return ~sum == vhd_number(bytes + at);
}

const char *vhd_read_footer(const uint8_t *bytes, uint64_t file_size, vhd_footer *footer) {
    if (memcmp(bytes, "conectix", 8) != 0) {
        return "it does not end as a VHD does";
    }
    if (!sums_up(bytes, VHD_FOOTER, 64)) {
        return "its footer is damaged";
    }
    *footer = (vhd_footer){ .header = number64(bytes + 16), .size = number64(bytes + 48) };
    switch (vhd_number(bytes + 60)) {
    case FIXED:
        footer->fixed = true;
        if (footer->size > file_size - VHD_FOOTER) {
            return "it is shorter than its disk";
        }
        break;
    case DYNAMIC:
        break;
    case DIFFERENCING:
        return "it stands on another VHD; merge them first";
    default:
        return "it is of a type that is not known";
    }
    if (footer->size % VHD_SECTOR || footer->size > (uint64_t)VHD_BLOCKS_MAX << 21) {
        return "its disk has an impossible size";
    }
    return NULL;
}

const char *vhd_read_header(const uint8_t *bytes, const vhd_footer *footer, vhd_header *header) {
    if (memcmp(bytes, "cxsparse", 8) != 0 || !sums_up(bytes, VHD_HEADER, 36)) {
        return "its header is damaged";
    }
    uint32_t size = vhd_number(bytes + 32);
    if (size < 8 * VHD_SECTOR || size > 1u << 28 || (size & (size - 1))) {
        return "its blocks have an impossible size";
    }
    uint64_t map = size / VHD_SECTOR / 8;
    *header = (vhd_header){
        .table = number64(bytes + 16),
        .blocks = (uint32_t)((footer->size + size - 1) / size),
        .block_size = size,
        .map_size = (uint32_t)((map + VHD_SECTOR - 1) / VHD_SECTOR * VHD_SECTOR),
    };
    if (header->blocks > vhd_number(bytes + 28) || header->blocks > VHD_BLOCKS_MAX) {
        return "its table has too few blocks for its disk";
    }
    return NULL;
}

void vhd_clear(const uint8_t *map, uint32_t within, uint8_t *bytes, uint32_t length) {
    for (uint32_t at = 0; at < length; at += VHD_SECTOR) {
        uint32_t sector = (within + at) / VHD_SECTOR;
        if (!(map[sector / 8] & 0x80 >> sector % 8)) {
            memset(bytes + at, 0, VHD_SECTOR);
        }
    }
}
