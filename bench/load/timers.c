#include <stdlib.h>

#include "load.h"

void timers_add(struct timers *timers, uint64_t due, void *owner)
{
    if (timers->count == timers->room) {
        timers->room = timers->room ? timers->room * 2 : 1024;
        timers->heap = realloc(timers->heap, timers->room * sizeof *timers->heap);
        if (timers->heap == NULL)
            die("out of memory");
    }
    size_t at = timers->count++;
    while (at > 0 && timers->heap[(at - 1) / 2].due > due) {
        timers->heap[at] = timers->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    timers->heap[at] = (struct timer){due, owner};
}

bool timers_due(struct timers *timers, uint64_t now, struct timer *found)
{
    if (timers->count == 0 || timers->heap[0].due > now)
        return false;
    *found = timers->heap[0];
    struct timer last = timers->heap[--timers->count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && timers->heap[child + 1].due < timers->heap[child].due)
            child++;
        if (timers->heap[child].due >= last.due)
            break;
        timers->heap[at] = timers->heap[child];
        at = child;
    }
    if (timers->count > 0)
        timers->heap[at] = last;
    return true;
}

uint64_t timers_next(const struct timers *timers)
{
    return timers->count ? timers->heap[0].due : 0;
}
