/* For a plugin that serves volumes (`block`) to which nothing happens by itself: include this in one .c file. `next-event` is the
   one function of that interface that C answers later than it returns, so that other calls go on meanwhile; here, never. */
#ifndef FIEF_NO_EVENTS_H
#define FIEF_NO_EVENTS_H
#include "fief.h"

plugin_callback_code_t exports_fief_storage_block_method_device_next_event(exports_fief_storage_block_borrow_device_t device) {
    (void)device;
    return PLUGIN_CALLBACK_CODE_WAIT(plugin_waitable_set_new());
}

plugin_callback_code_t exports_fief_storage_block_method_device_next_event_callback(plugin_event_t *event) {
    (void)event;
    return PLUGIN_CALLBACK_CODE_EXIT;
}

#endif
