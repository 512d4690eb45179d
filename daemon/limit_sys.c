#include "daemon/limit_sys.h"

#include <sys/resource.h>

#define FILES_WANTED 4096

void limit_raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur >= FILES_WANTED) {
        return;
    }
    limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}
