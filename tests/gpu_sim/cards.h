// What the simulated cards are like: read from the environment by NVML's stand-in and the runtime.
//   SIM_CARDS      their models, by commas; each is shown with "Simulated" before it
//   SIM_DRIVER     old, none
//   SIM_MIG        1: what is used are parts of the cards
//   SIM_SM_MHZ     clock of the SMs: the last of a list stays, each NVML reading takes the next
//   SIM_MEMORY_MHZ, SIM_BUS_BITS, SIM_SMS, SIM_MEMORY_MIB
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCI_BUS 0x40 // of card 0; the next has the next

static inline const char* setting(const char* name, const char* usual) {
  const char* given = getenv(name);
  return given && *given ? given : usual;
}

// The entry of a list by commas, or of its last one where there are fewer; false for that.
static inline int entry(const char* list, int index, char* text, size_t room) {
  const char* next;
  while ((next = strchr(list, ',')) && index-- > 0) list = next + 1;
  snprintf(text, room, "%.*s", next ? (int)(next - list) : (int)strlen(list), list);
  return index <= 0;
}

static inline int listed(const char* list, const char* wanted) {
  char text[96];
  for (int i = 0; entry(list, i, text, sizeof text); ++i)
    if (!strcmp(text, wanted)) return 1;
  return 0;
}

static inline int is_driver(const char* state) { return !strcmp(setting("SIM_DRIVER", ""), state); }
static inline int is_mig(void) { return atoi(setting("SIM_MIG", "0")); }
static inline const char* models(void) { return setting("SIM_CARDS", "H100,H100"); }

static inline int card_count(void) {
  int count = 1;
  for (const char* at = models(); (at = strchr(at, ',')); ++at) ++count;
  return count;
}

static inline void card_name(int index, char* text, size_t room) {
  char model[64];
  entry(models(), index, model, sizeof model);
  snprintf(text, room, "Simulated %s", model);
}

static inline unsigned number(const char* name, int index, const char* usual) {
  char text[32];
  entry(setting(name, usual), index, text, sizeof text);
  return (unsigned)strtoul(text, NULL, 0);
}

static inline unsigned sm_mhz(int reading) { return number("SIM_SM_MHZ", reading, "1980"); }
