"""The number that looks like a bus, the width itself, and the CPU's modules without root."""

import subprocess, torch

if torch.cuda.is_available():
    card = torch.cuda.get_device_properties(0)
    print(card.pci_bus_id, "is the card's place on the PCI bus")        # wrong
    print(card.memory_bus_width, "bits is the width of its memory bus")  # right
# CPU, Linux: the bus is as wide as DATA_WIDTH × the channels that the locators name.
# Prints nothing in most virtual machines and containers, which hide the modules.
told = subprocess.getoutput("udevadm info -q property -p /sys/devices/virtual/dmi/id")
for line in told.splitlines():
    if line.startswith("MEMORY_DEVICE_") and ("_DATA_WIDTH=" in line or "LOCATOR=" in line):
        print(line)
