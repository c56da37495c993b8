#include <string.h>

#include "load.h"

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "upstream") == 0)
        return upstream_main(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "client") == 0)
        return client_main(argc - 1, argv + 1);
    die("usage: load upstream|client ...");
}
