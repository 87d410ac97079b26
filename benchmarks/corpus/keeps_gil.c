/* An extension that does not declare Py_mod_gil: a free-threaded Python switches the GIL on to load it.
 *
 *     python benchmarks/corpus/build.py     compiles it beside this file, for Pythons with and without a GIL
 */
#include <Python.h>

static PyObject *loop(PyObject *module, PyObject *argument)
{
    unsigned long times = PyLong_AsUnsignedLong(argument), total = 0;
    for (unsigned long number = 0; number < times; number++)
        total = (total * 31 + number) & 255;
    return PyLong_FromUnsignedLong(total);
}

static PyMethodDef methods[] = {{"loop", loop, METH_O, "Compute for so many turns."}, {0}};
static PyModuleDef_Slot slots[] = {{0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "keeps_gil", 0, 0, methods, slots};

PyMODINIT_FUNC PyInit_keeps_gil(void)
{
    return PyModuleDef_Init(&definition);
}
