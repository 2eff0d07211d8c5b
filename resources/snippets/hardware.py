"""The number that looks like a bus, the width itself, and the CPU's modules without root."""

import subprocess, torch

if torch.cuda.is_available():
    card = torch.cuda.get_device_properties(0)
    print(card.pci_bus_id, "is the card's place on the PCI bus")  # wrong
    print(card.memory_bus_width, "bits is the width of its memory bus")  # right
# CPU, Linux: the bus is as wide as DATA_WIDTH × the channels that the locators name.
told = subprocess.getoutput("udevadm info -q property -p /sys/devices/virtual/dmi/id")
modules = [line for line in told.splitlines() if "_DATA_WIDTH=" in line or "LOCATOR=" in line]
print("\n".join(modules) or "no modules told: most virtual machines and containers hide them")
