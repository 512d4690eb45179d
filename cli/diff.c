/*
 * The longest common subsequence of lines by the textbook table, after the common beginning and
 * end were taken off. Walking the table gives a sequence of edits; a first walk finds where each
 * hunk ends, a second one prints it.
 */
#include "cli/diff.h"

#include <string.h>

/* A text as lines; `middle` of them, after `head` common ones, take part in the comparison. */
struct side {
    const char *text;
    uint32_t head;
    uint32_t middle;
};

enum edit {
    EDIT_END,
    EDIT_KEEP,
    EDIT_REMOVE,
    EDIT_ADD,
};

/* A place between lines on both sides, as numbers of the lines before it. */
struct place {
    uint32_t old_line;
    uint32_t new_line;
};

struct sides {
    const struct diff *diff;
    struct side old_side;
    struct side new_side;
    uint32_t tail; /* Lines in common at the end. */
};

static size_t line_length(const char *line)
{
    const size_t length = strcspn(line, "\n");

    return line[length] == '\n' ? length + 1 : length;
}

static uint32_t count_lines(const char *text)
{
    uint32_t count = 0;

    for (; *text != '\0'; text += line_length(text)) {
        count++;
    }
    return count;
}

static const char *line_at(const char *text, uint32_t index)
{
    for (; index > 0; index--) {
        text += line_length(text);
    }
    return text;
}

static bool same_line(const char *a, const char *b)
{
    const size_t length = line_length(a);

    return length == line_length(b) && memcmp(a, b, length) == 0;
}

static bool same_at(const struct sides *sides, uint32_t old_line, uint32_t new_line)
{
    return same_line(
        line_at(sides->old_side.text, old_line), line_at(sides->new_side.text, new_line));
}

static void trim(struct sides *sides)
{
    const uint32_t old_count = count_lines(sides->old_side.text);
    const uint32_t new_count = count_lines(sides->new_side.text);
    uint32_t least = old_count < new_count ? old_count : new_count;
    uint32_t head = 0;

    while (head < least && same_at(sides, head, head)) {
        head++;
    }
    least -= head;
    while (sides->tail < least &&
           same_at(sides, old_count - 1 - sides->tail, new_count - 1 - sides->tail)) {
        sides->tail++;
    }
    sides->old_side.head = head;
    sides->new_side.head = head;
    sides->old_side.middle = old_count - head - sides->tail;
    sides->new_side.middle = new_count - head - sides->tail;
}

static bool too_long(const struct sides *sides)
{
    return sides->old_side.middle > DIFF_LINES_MAX || sides->new_side.middle > DIFF_LINES_MAX;
}

/* The middle's lines, so that comparing all pairs does not walk the text for each of them. */
static void index_lines(const struct side *side, const char *lines[])
{
    const char *line = line_at(side->text, side->head);

    for (uint32_t i = 0; i < side->middle; i++, line += line_length(line)) {
        lines[i] = line;
    }
}

/* common[i][j]: how many lines the middles have in common from old line i and new line j on. */
static void fill(struct diff *diff, const struct sides *sides)
{
    const uint32_t old_middle = sides->old_side.middle;
    const uint32_t new_middle = sides->new_side.middle;

    index_lines(&sides->old_side, diff->old_lines);
    index_lines(&sides->new_side, diff->new_lines);
    for (uint32_t i = old_middle + 1; i-- > 0;) {
        for (uint32_t j = new_middle + 1; j-- > 0;) {
            if (i == old_middle || j == new_middle) {
                diff->common[i][j] = 0;
            } else if (same_line(diff->old_lines[i], diff->new_lines[j])) {
                diff->common[i][j] = (uint16_t)(diff->common[i + 1][j + 1] + 1);
            } else {
                const uint16_t without_old = diff->common[i + 1][j];
                const uint16_t without_new = diff->common[i][j + 1];

                diff->common[i][j] = without_old > without_new ? without_old : without_new;
            }
        }
    }
}

/* What happens at `place`; removals come before additions. */
static enum edit edit_at(const struct sides *sides, struct place place)
{
    const struct side *old_side = &sides->old_side;
    const struct side *new_side = &sides->new_side;
    uint32_t i;
    uint32_t j;

    if (place.old_line < old_side->head) {
        return EDIT_KEEP;
    }
    i = place.old_line - old_side->head;
    j = place.new_line - new_side->head;
    if (i >= old_side->middle && j >= new_side->middle) {
        return i - old_side->middle < sides->tail ? EDIT_KEEP : EDIT_END;
    }
    if (i == old_side->middle) {
        return EDIT_ADD;
    }
    if (j == new_side->middle || too_long(sides)) {
        return EDIT_REMOVE;
    }
    if (same_at(sides, place.old_line, place.new_line)) {
        return EDIT_KEEP;
    }
    return sides->diff->common[i + 1][j] >= sides->diff->common[i][j + 1] ? EDIT_REMOVE : EDIT_ADD;
}

static struct place after(struct place place, enum edit edit)
{
    place.old_line += edit != EDIT_ADD;
    place.new_line += edit != EDIT_REMOVE;
    return place;
}

/* Skips kept lines from `place`; false if none but kept lines are left. */
static bool find_change(const struct sides *sides, struct place *place)
{
    enum edit edit = edit_at(sides, *place);

    for (; edit == EDIT_KEEP; edit = edit_at(sides, *place)) {
        *place = after(*place, edit);
    }
    return edit != EDIT_END;
}

/* Where the hunk that starts at `place` ends: before more kept lines than two contexts hold. */
static struct place find_end(const struct sides *sides, struct place place)
{
    struct place end = place;
    uint32_t kept = 0;
    enum edit edit;

    while ((edit = edit_at(sides, place)) != EDIT_END && kept <= 2 * DIFF_CONTEXT) {
        place = after(place, edit);
        kept = edit == EDIT_KEEP ? kept + 1 : 0;
        end = kept <= DIFF_CONTEXT ? place : end;
    }
    return end;
}

/* "start,count" as diff(1) writes it: an empty range names the line before it. */
static void add_range(uint32_t first, uint32_t end, struct text *out)
{
    const uint32_t count = end - first;

    text_addf(out, "%u", count == 0 ? first : first + 1);
    if (count != 1) {
        text_addf(out, ",%u", count);
    }
}

static void add_line(char mark, const char *line, struct text *out)
{
    const size_t length = line_length(line);

    text_addf(out, "%c", mark);
    text_add_bytes(out, line, length);
    if (line[length - 1] != '\n') {
        text_add(out, "\n");
    }
}

static void add_hunk(
    const struct sides *sides, struct place place, struct place end, struct text *out)
{
    text_add(out, "@@ -");
    add_range(place.old_line, end.old_line, out);
    text_add(out, " +");
    add_range(place.new_line, end.new_line, out);
    text_add(out, " @@\n");
    while (place.old_line < end.old_line || place.new_line < end.new_line) {
        const enum edit edit = edit_at(sides, place);

        if (edit == EDIT_ADD) {
            add_line('+', line_at(sides->new_side.text, place.new_line), out);
        } else {
            add_line(
                edit == EDIT_KEEP ? ' ' : '-', line_at(sides->old_side.text, place.old_line), out);
        }
        place = after(place, edit);
    }
}

void diff_unified(struct diff *diff, const char *old_text, const char *new_text, struct text *out)
{
    struct sides sides = {
        .diff = diff,
        .old_side = {.text = old_text},
        .new_side = {.text = new_text},
    };
    struct place place = {0, 0};

    trim(&sides);
    if (sides.old_side.middle == 0 && sides.new_side.middle == 0) {
        return;
    }
    if (!too_long(&sides)) {
        fill(diff, &sides);
    }

    text_add(out, "--- before\n+++ after\n");
    while (find_change(&sides, &place)) {
        const uint32_t back = place.old_line < DIFF_CONTEXT ? place.old_line : DIFF_CONTEXT;
        const struct place end = find_end(&sides, place);

        /* Kept lines stand before every change; a hunk never reaches back into the one before. */
        place.old_line -= back;
        place.new_line -= back;
        add_hunk(&sides, place, end, out);
        place = end;
    }
}
