#include "cli/editor_sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "base/text.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)

static enum status sys_err(struct err *err, const char *what, const char *name)
{
    return ERR(err, IO, "could not %s \"%s\": %s", what, name, strerror(errno));
}

static enum status write_all(int fd, const char *data, const char *path, struct err *err)
{
    size_t left = strlen(data);

    while (left > 0) {
        const ssize_t written = write(fd, data, left);

        if (written == -1 && errno == EINTR) {
            continue;
        }
        if (written == -1) {
            return sys_err(err, "write", path);
        }
        data += written;
        left -= (size_t)written;
    }
    return STATUS_OK;
}

/* Through the shell: $EDITOR may have arguments. The path is an argument, never part of it. */
static void exec_editor(const char *path)
{
    const char *editor = getenv("EDITOR");

    if (editor != NULL && editor[0] != '\0') {
        char command[1024];
        struct text text;

        text_init(&text, command, sizeof command);
        text_addf(&text, "%s \"$1\"", editor);
        if (!text_overflowed(&text)) {
            (void)execl("/bin/sh", "sh", "-c", command, "sh", path, (char *)NULL);
        }
        _exit(127);
    }
    (void)execlp("editor", "editor", path, (char *)NULL);
    (void)execlp("vi", "vi", path, (char *)NULL);
    _exit(127);
}

static enum status wait_for_editor(const char *path, struct err *err)
{
    const pid_t pid = fork();
    int how = 0;

    if (pid == -1) {
        return sys_err(err, "start an editor on", path);
    }
    if (pid == 0) {
        exec_editor(path);
    }
    while (waitpid(pid, &how, 0) == -1) {
        if (errno != EINTR) {
            return sys_err(err, "wait for the editor of", path);
        }
    }
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) {
        return ERR(
            err, REFUSED, "the editor failed (status %d)",
            WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how));
    }
    return STATUS_OK;
}

/* A name of a cluster may have characters that a file name should not. */
static void add_file_name(const char *name, struct text *path)
{
    for (; *name != '\0'; name++) {
        text_addf(path, "%c", *name == '/' ? '_' : *name);
    }
}

enum status editor_run(
    const char *name, const char *before, char **after, size_t *length, struct err *err)
{
    enum status status = STATUS_OK;
    const char *folder = getenv("TMPDIR");
    char path[1024];
    struct text text;
    int fd = -1;

    *after = NULL;
    text_init(&text, path, sizeof path);
    text_addf(&text, "%s/", folder == NULL || folder[0] == '\0' ? "/tmp" : folder);
    add_file_name(name, &text);
    text_add(&text, "-config-XXXXXX.yaml");
    if (text_overflowed(&text)) {
        return ERR(err, INVALID, "TMPDIR is too long");
    }
    fd = mkstemps(path, (int)strlen(".yaml"));
    if (fd == -1) {
        return sys_err(err, "create", path);
    }

    status = write_all(fd, before, path, err);
    (void)close(fd); /* The editor opens it anew; a late write error shows as a changed text. */
    if (status != STATUS_OK) {
        goto out;
    }
    status = wait_for_editor(path, err);
    if (status != STATUS_OK) {
        goto out;
    }
    status = file_read_alloc(path, TEXT_BYTES_MAX, after, length, err);

out:
    (void)unlink(path);
    return status;
}

static enum status read_stdin(char **data, size_t *length, struct err *err)
{
    char *text = malloc(TEXT_BYTES_MAX + 1);

    if (text == NULL) {
        return ERR(err, FULL, "out of memory");
    }
    *length = fread(text, 1, TEXT_BYTES_MAX + 1, stdin);
    if (ferror(stdin) != 0 || *length > TEXT_BYTES_MAX) {
        free(text);
        return ERR(err, INVALID, "could not read standard input, or there is too much of it");
    }
    text[*length] = '\0';
    *data = text;
    return STATUS_OK;
}

enum status editor_read(const char *path, char **data, size_t *length, struct err *err)
{
    *data = NULL;
    return text_equal(path, "-") ? read_stdin(data, length, err)
                                 : file_read_alloc(path, TEXT_BYTES_MAX, data, length, err);
}
