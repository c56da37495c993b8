#include <string.h>

#include "load.h"

#define SUB_BITS 7
#define SUB (1U << SUB_BITS)
#define GROUPS 40 /* up to 2^46 ns, 19 hours */
#define BUCKETS (GROUPS * SUB)

static unsigned bucket_of(uint64_t ns)
{
    if (ns < SUB)
        return (unsigned)ns;
    unsigned shift = 63U - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    unsigned bucket = (shift + 1) * SUB + (unsigned)((ns >> shift) - SUB);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The middle of a bucket. */
static double value_of(unsigned bucket)
{
    unsigned group = bucket / SUB;
    if (group == 0)
        return bucket;
    double width = (double)(1ULL << (group - 1));
    return ((double)(bucket % SUB + SUB) + 0.5) * width;
}

void hist_init(struct hist *hist)
{
    *hist = (struct hist){.buckets = must_alloc(BUCKETS, sizeof(uint64_t))};
}

void hist_reset(struct hist *hist)
{
    memset(hist->buckets, 0, BUCKETS * sizeof(uint64_t));
    hist->count = hist->sum = hist->max = 0;
}

void hist_add(struct hist *hist, uint64_t ns)
{
    hist->buckets[bucket_of(ns)]++;
    hist->count++;
    hist->sum += ns;
    if (ns > hist->max)
        hist->max = ns;
}

static double percentile_us(const struct hist *hist, double part)
{
    uint64_t wanted = (uint64_t)(part * (double)hist->count + 0.5), seen = 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += hist->buckets[bucket];
        if (seen >= wanted)
            return value_of(bucket) / 1000.0;
    }
    return (double)hist->max / 1000.0;
}

void hist_print(FILE *out, const struct hist *hist)
{
    if (hist->count == 0) {
        fputs("null", out);
        return;
    }
    fprintf(out, "{\"count\":%llu,\"mean\":%.2f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f}",
            (unsigned long long)hist->count, (double)hist->sum / (double)hist->count / 1000.0,
            percentile_us(hist, 0.5), percentile_us(hist, 0.9), percentile_us(hist, 0.99),
            percentile_us(hist, 0.999), (double)hist->max / 1000.0);
}
