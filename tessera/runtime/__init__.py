"""The machine a program runs on: devices, versions, allocator, and what each op runs on there."""
