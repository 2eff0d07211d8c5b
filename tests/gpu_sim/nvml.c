// NVML's C interface for cards that do not exist: what pynvml and torch ask for. Beside cards.h:
//   SIM_MISSING    functions that are not supported, by commas
//   SIM_REFUSED    numbers of the cards that this user may not use, by commas
//   SIM_EVENTS     bits of the clocks-event reasons
//   SIM_PROCESSES  who uses the cards: PID:SM:KIND by commas; the PID may be "self", KIND is c
//                  (computing) or g (drawing), SM is in per cent
#include <sys/time.h>
#include <unistd.h>

#include "cards.h"

enum { OK = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, TOO_SMALL = 7,
       DRIVER_NOT_LOADED = 9, INVALID = 2, MEMORY_CLOCK = 2, WHOLE = 0x100, PART = 0x200 };
typedef size_t Handle; // WHOLE or PART plus the number of the card
typedef unsigned long long u64;
typedef struct { unsigned pid; u64 at_us; unsigned sm, memory, encoder, decoder; } Utilization;
typedef struct { unsigned pid; u64 memory; unsigned instance, compute_instance; } Process;

#define ANSWER(name, type, value)                            \
  int name(Handle card, type* answer) {                      \
    (void)card;                                              \
    if (is_missing(__func__)) return NOT_SUPPORTED;          \
    *answer = (value);                                       \
    return OK;                                               \
  }
#define NEEDED if (is_missing(__func__)) return NOT_SUPPORTED

static int is_missing(const char* function) { return listed(setting("SIM_MISSING", ""), function); }

static int text(char* to, unsigned room, const char* from) {
  return snprintf(to, room, "%s", from) < (int)room ? OK : TOO_SMALL;
}

// ---- the library ------------------------------------------------------------------------------

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  return is_driver("none") ? DRIVER_NOT_LOADED : OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }

const char* nvmlErrorString(int error) {
  switch (error) {
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    default: return "Another error of a simulated card";
  }
}

int nvmlSystemGetDriverVersion(char* version, unsigned room) {
  NEEDED;
  return text(version, room, is_driver("old") ? "470.1" : "600.1");
}
int nvmlSystemGetCudaDriverVersion(int* version) {
  NEEDED;
  *version = is_driver("old") ? 11040 : 13020;
  return OK;
}
int nvmlSystemGetCudaDriverVersion_v2(int* v) { return nvmlSystemGetCudaDriverVersion(v); }

// ---- the cards --------------------------------------------------------------------------------

int nvmlDeviceGetCount_v2(unsigned* count) {
  NEEDED;
  *count = (unsigned)card_count();
  return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle* card) {
  char number[16];
  snprintf(number, sizeof number, "%u", index);
  if (index >= (unsigned)card_count()) return INVALID;
  if (listed(setting("SIM_REFUSED", ""), number)) return NO_PERMISSION;
  *card = WHOLE + index;
  return OK;
}

int nvmlDeviceGetHandleByUUID(const char* uuid, Handle* card) {
  unsigned index;
  NEEDED;
  if (sscanf(uuid, "GPU-51300000-0000-0000-0000-%x", &index) == 1 && !is_mig())
    return nvmlDeviceGetHandleByIndex_v2(index, card);
  if (sscanf(uuid, "MIG-51300000-0000-0000-0000-%x", &index) != 1 || !is_mig()) return NOT_FOUND;
  *card = PART + index;
  return OK;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* address, Handle* card) {
  unsigned domain, bus;
  NEEDED;
  if (sscanf(address, "%x:%x", &domain, &bus) != 2 || bus < PCI_BUS) return NOT_FOUND;
  return nvmlDeviceGetHandleByIndex_v2(bus - PCI_BUS, card);
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Handle part, Handle* card) {
  NEEDED;
  *card = part - PART + WHOLE;
  return OK;
}

int nvmlDeviceGetUUID(Handle card, char* uuid, unsigned room) {
  char own[48];
  NEEDED;
  snprintf(own, sizeof own, "GPU-51300000-0000-0000-0000-%012x", (unsigned)card - WHOLE);
  return text(uuid, room, own);
}

int nvmlDeviceGetName(Handle card, char* name, unsigned room) {
  char own[96];
  NEEDED;
  card_name((int)card - WHOLE, own, sizeof own);
  return text(name, room, own);
}

// ---- what it is doing -------------------------------------------------------------------------

int nvmlDeviceGetMaxClockInfo(Handle card, int domain, unsigned* mhz) {
  (void)card;
  NEEDED;
  *mhz = domain == MEMORY_CLOCK ? number("SIM_MEMORY_MHZ", 0, "2619") : sm_mhz(0);
  return OK;
}

int nvmlDeviceGetClockInfo(Handle card, int domain, unsigned* mhz) {
  static int readings = 0;
  (void)card;
  NEEDED;
  *mhz = domain == MEMORY_CLOCK ? number("SIM_MEMORY_MHZ", 0, "2619") : sm_mhz(readings++);
  return OK;
}

int nvmlDeviceGetTemperature(Handle card, int sensor, unsigned* celsius) {
  (void)card, (void)sensor;
  NEEDED;
  *celsius = 50;
  return OK;
}

// 300 W, counted every 20 ms.
int nvmlDeviceGetTotalEnergyConsumption(Handle card, u64* millijoules) {
  struct timeval now;
  (void)card;
  NEEDED;
  gettimeofday(&now, NULL);
  *millijoules = (now.tv_sec * 1000ull + now.tv_usec / 1000) / 20 * 20 * 300;
  return OK;
}

int nvmlDeviceGetMigMode(Handle card, unsigned* now, unsigned* next) {
  (void)card;
  NEEDED;
  *now = *next = (unsigned)is_mig();
  return OK;
}

ANSWER(nvmlDeviceGetMemoryBusWidth, unsigned, number("SIM_BUS_BITS", 0, "5120"))
ANSWER(nvmlDeviceGetPowerUsage, unsigned, 300000)
ANSWER(nvmlDeviceGetEnforcedPowerLimit, unsigned, 700000)
ANSWER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, 5)
ANSWER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, 5)
ANSWER(nvmlDeviceGetCurrPcieLinkWidth, unsigned, 16)
ANSWER(nvmlDeviceGetMaxPcieLinkWidth, unsigned, 16)
ANSWER(nvmlDeviceGetCurrentClocksEventReasons, u64, number("SIM_EVENTS", 0, "0"))
ANSWER(nvmlDeviceGetCurrentClocksThrottleReasons, u64, number("SIM_EVENTS", 0, "0"))

// Torch loads no NVML that lacks them, and asks this one for nothing by them.
int nvmlDeviceGetNvLinkRemoteDeviceType(void) { return NOT_SUPPORTED; }
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void) { return NOT_SUPPORTED; }

// ---- who uses it ------------------------------------------------------------------------------

typedef struct { unsigned pid, sm; char kind; } User;

static int user(int index, User* who) {
  const char* list = setting("SIM_PROCESSES", "self:90:c");
  char one[64], pid[32];
  if (!entry(list, index, one, sizeof one)) return 0;
  if (sscanf(one, "%31[^:]:%u:%c", pid, &who->sm, &who->kind) != 3) return 0;
  who->pid = strcmp(pid, "self") ? (unsigned)atoi(pid) : (unsigned)getpid();
  return 1;
}

static int running(char kind, unsigned* count, Process* found) {
  User who;
  unsigned seen = 0;
  for (int i = 0; user(i, &who); ++i) {
    if (who.kind != kind) continue;
    if (found && seen < *count) found[seen] = (Process){who.pid, 1 << 20, 0, 0};
    ++seen;
  }
  const int fits = seen == 0 || (found && seen <= *count);
  *count = seen;
  return fits ? OK : TOO_SMALL;
}
int nvmlDeviceGetComputeRunningProcesses_v3(Handle card, unsigned* count, Process* found) {
  (void)card;
  NEEDED;
  return running('c', count, found);
}
int nvmlDeviceGetComputeRunningProcesses(Handle card, unsigned* count, Process* found) {
  return nvmlDeviceGetComputeRunningProcesses_v3(card, count, found);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Handle card, unsigned* count, Process* found) {
  (void)card;
  NEEDED;
  return running('g', count, found);
}

int nvmlDeviceGetProcessUtilization(Handle card, Utilization* found, unsigned* count, u64 since) {
  User who;
  struct timeval now;
  unsigned seen = 0;
  (void)card, (void)since;
  NEEDED;
  gettimeofday(&now, NULL);
  for (int i = 0; user(i, &who); ++i, ++seen)
    if (found)
      found[seen] = (Utilization){who.pid, now.tv_sec * 1000000ull + now.tv_usec, who.sm, 0, 0, 0};
  *count = found ? seen : 100; // as the driver: it asks for more room than it needs
  return seen == 0 ? NOT_FOUND : found ? OK : TOO_SMALL;
}
