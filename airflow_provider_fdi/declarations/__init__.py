"""FDI tasks as code: files that say which tasks there are, and what makes an instance agree with them.

``load`` reads the files, ``read_actual`` the instance; ``make_plan`` compares the two, without any I/O, and
``apply_plan`` carries the plan out. ``export`` writes the files of an instance. Nothing is stored between
two calls: a task is known by its name, and it is ours if it carries the managed tag.
"""
