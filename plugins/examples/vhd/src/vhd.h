/* What a VHD file says (Virtual Hard Disk Image Format Specification 1.0, Microsoft, 2006). Numbers are big-endian. Nothing here
   asks the host: bytes come in, and what they mean goes out. */
#ifndef VHD_H
#define VHD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHD_SECTOR 512
/* The last sector of a file. */
#define VHD_FOOTER 512
#define VHD_HEADER 1024
/* A block that is not stored: it reads as zeroes. */
#define VHD_NOWHERE 0xffffffffu
/* Most blocks: 2 TiB, the largest disk that the format is made for, in its usual blocks of 2 MiB. */
#define VHD_BLOCKS_MAX (1u << 20)

typedef struct {
    /* What the guest sees, in bytes. */
    uint64_t size;
    /* Whether the disk lies in the file as it is, before the footer. */
    bool fixed;
    /* Else, where the header lies. */
    uint64_t header;
} vhd_footer;

typedef struct {
    /* Where the table of blocks lies, and how many it names. */
    uint64_t table;
    uint32_t blocks;
    /* Bytes of the disk in each block, and of the map of sectors before them. */
    uint32_t block_size;
    uint32_t map_size;
} vhd_header;

/* Give NULL, or why the file is none that is read here. `bytes` are VHD_FOOTER or VHD_HEADER many. */
const char *vhd_read_footer(const uint8_t *bytes, uint64_t file_size, vhd_footer *footer);
const char *vhd_read_header(const uint8_t *bytes, const vhd_footer *footer, vhd_header *header);

/* The number of the four bytes that begin there. */
uint32_t vhd_number(const uint8_t *bytes);
/* Clears what a map of sectors says is not stored of `length` bytes that lie `within` a block; both are multiples of a sector. */
void vhd_clear(const uint8_t *map, uint32_t within, uint8_t *bytes, uint32_t length);

#endif
