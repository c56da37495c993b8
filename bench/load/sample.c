/* What the kernel says of processes and cores at one moment. The client takes it itself, at the very beginning and end of
 * its window: another program would be late just when the machine is busy. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

static size_t read_file(const char *path, char *into, size_t room)
{
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(into, 1, room - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    into[size] = '\0';
    return size;
}

/* Nanoseconds on a core of all threads, as the scheduler counts them. */
static uint64_t cpu_ns(int pid)
{
    char path[320], text[128];
    uint64_t total = 0;
    struct dirent *task;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task->d_name);
        if (read_file(path, text, sizeof text) > 0)
            total += strtoull(text, NULL, 10);
    }
    if (tasks != NULL)
        closedir(tasks);
    return total;
}

static uint64_t kernel_ticks(int pid)
{
    char path[64], text[1024];
    unsigned long long ticks = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    read_file(path, text, sizeof text);
    const char *after_name = strrchr(text, ')');
    if (after_name != NULL) /* state is field 3, the kernel's time field 15 */
        sscanf(after_name + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &ticks);
    return ticks;
}

static uint64_t resident_bytes(int pid)
{
    char path[64], text[256];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    read_file(path, text, sizeof text);
    sscanf(text, "%*s %llu", &pages);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t core_ticks(int core)
{
    char text[8192], name[16];
    unsigned long long user, nice, system, idle, wait, irq, softirq, steal;
    read_file("/proc/stat", text, sizeof text);
    snprintf(name, sizeof name, "cpu%d ", core);
    const char *line = strstr(text, name);
    if (line == NULL
        || sscanf(line, "%*s %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &softirq,
                  &steal) != 8)
        return 0;
    return user + nice + system + irq + softirq + steal;
}

struct sample sample_take(const int *pids, unsigned count, int upstream)
{
    struct sample now = {.at = now_ns(), .own = cpu_ns(getpid()), .upstream = upstream ? cpu_ns(upstream) : 0};
    for (unsigned at = 0; at < count; at++) {
        now.subject += cpu_ns(pids[at]);
        now.subject_kernel += kernel_ticks(pids[at]);
        now.resident += resident_bytes(pids[at]);
    }
    for (int core = 0; core < SAMPLED_CORES; core++)
        now.cores[core] = core_ticks(core);
    return now;
}

void sample_print(FILE *out, const struct sample *from, const struct sample *to)
{
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    fprintf(out, "{\"seconds\":%.6f,\"subject_s\":%.6f,\"subject_kernel_s\":%.2f,\"upstream_s\":%.6f,\"client_s\":%.6f,"
                 "\"resident\":%llu,\"core_s\":[",
            (double)(to->at - from->at) / 1e9, (double)(to->subject - from->subject) / 1e9,
            (double)(to->subject_kernel - from->subject_kernel) * tick, (double)(to->upstream - from->upstream) / 1e9,
            (double)(to->own - from->own) / 1e9, (unsigned long long)to->resident);
    for (int core = 0; core < SAMPLED_CORES; core++)
        fprintf(out, "%s%.2f", core ? "," : "", (double)(to->cores[core] - from->cores[core]) * tick);
    fputs("]}", out);
}
