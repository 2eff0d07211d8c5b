"""Images that become examples one by one, loaded here and by a worker; then a tensor sliced."""

import time, torch
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    grey = torch.randint(256, (4096, 28, 28), dtype=torch.uint8)

    def __len__(self):
        return len(self.grey)

    def __getitem__(self, i):
        return self.grey[i].float().div(255).flatten()


def seconds(batches):
    start = time.perf_counter()
    count = sum(len(batch) for batch in batches)
    assert count == 4096
    return time.perf_counter() - start


if __name__ == "__main__":  # where workers are not forked, they import this file
    for workers in (0, 1):
        loader = DataLoader(
            Images(), 256, True, num_workers=workers, persistent_workers=workers > 0
        )
        first, second = seconds(loader), seconds(loader)
        print(f"{workers} workers: {first:.3f} s, and {second:.3f} s once they are started")
    tensor = Images.grey.float().div(255).flatten(1)
    taken = seconds(tensor[rows] for rows in torch.randperm(4096).split(256))
    print(f"sliced in memory: {taken:.3f} s")
